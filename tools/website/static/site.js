// Pages that lie on a disk may not read each other: search then shows its results without a summary.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
// Tables of results scroll from the keyboard too.
document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".table-wrapper, div.output, div.house").forEach(e => { e.tabIndex = 0; }));
