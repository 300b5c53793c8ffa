# The page of a saved model, on the CPU:
#   docker build -t covid_fastai .
#   docker run --rm -p 127.0.0.1:7860:7860 -v /path/to/run:/model:ro covid_fastai
# Research use only, not a medical device.
FROM python:3.12-slim
WORKDIR /src
COPY settings.ini setup.py pyproject.toml README.md LICENSE ./
COPY covid_fastai covid_fastai
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu ".[app,dicom,onnx]" && rm -rf /src
WORKDIR /
RUN useradd --create-home page
USER page
EXPOSE 7860
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=5)"]
ENTRYPOINT ["covid_fastai", "app", "--bundle", "/model", "--host", "0.0.0.0"]
