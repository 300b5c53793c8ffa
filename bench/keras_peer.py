"""One epoch of soares2020's frozen VGG16 in Keras, for `bench/train.py --keras`; needs TensorFlow and nothing else.

Films are decoded once and kept (`cache`), the network is traced and warm before the clock runs: Keras at its best.
"""
import csv
import json
import sys
import time

import keras
import tensorflow as tf


def read(path, size):
    "A film as VGG16 takes it."
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    return keras.applications.vgg16.preprocess_input(tf.image.resize(image, (size, size)))


def dataset(rows, split, classes, job):
    "Batches of a split from memory, shuffled when they are for training."
    rows = [r for r in rows if r["split"] == split]
    ds = tf.data.Dataset.from_tensor_slices(([r["path"] for r in rows], [classes.index(r["target"]) for r in rows]))
    ds = ds.map(lambda path, y: (read(path, job["size"]), y), num_parallel_calls=tf.data.AUTOTUNE).cache()
    for _ in ds: pass
    return (ds.shuffle(len(rows)) if split == "train" else ds).batch(job["bs"]).prefetch(tf.data.AUTOTUNE)


def network(n_classes, job):
    "VGG16, frozen, with a hidden layer of 256 nodes."
    body = keras.applications.VGG16(include_top=False, weights=None, pooling="avg", input_shape=(job["size"], job["size"], 3))
    body.trainable = False
    model = keras.Sequential([body, keras.layers.Dense(256, "relu"), keras.layers.Dense(n_classes, "softmax")])
    model.compile(keras.optimizers.Adam(job["lr"]), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(job):
    with open(job["films"], newline="", encoding="utf-8") as f: rows = list(csv.DictReader(f))
    classes = sorted({r["target"] for r in rows})
    train, valid = (dataset(rows, split, classes, job) for split in ("train", "valid"))
    model = network(len(classes), job)
    model.fit(train.take(2), validation_data=valid.take(1), verbose=0)
    start = time.perf_counter()
    model.fit(train, validation_data=valid, verbose=0)
    print("\n" + json.dumps((time.perf_counter() - start) * job["amount"]["epochs"]))


if __name__ == "__main__": main(json.loads(sys.argv[1]))
