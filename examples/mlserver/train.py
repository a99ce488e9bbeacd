"""Trains a random forest on the digits of scikit-learn, and writes what MLServer needs to serve it.

Runs in MLServer's own environment: train.py DIRECTORY
"""

import json
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

SEED = 7
TREES_COUNT = 100
SAMPLES_COUNT = 64


def main(directory: Path) -> None:
    """Write the model, its settings, and some images that it has never seen, with their true digits."""
    images, digits = load_digits(return_X_y=True)
    known, unseen, known_digits, unseen_digits = train_test_split(
        images, digits, test_size=0.25, random_state=SEED, stratify=digits
    )
    forest = RandomForestClassifier(n_estimators=TREES_COUNT, random_state=SEED).fit(known, known_digits)
    joblib.dump(forest, directory / "model.joblib")
    settings = {
        "name": "digits",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "version": "1"},
    }
    (directory / "model-settings.json").write_text(json.dumps(settings))
    samples = {
        "images": unseen[:SAMPLES_COUNT].tolist(),
        "digits": unseen_digits[:SAMPLES_COUNT].tolist(),
        "predictions": forest.predict(unseen[:SAMPLES_COUNT]).tolist(),
        "accuracy": forest.score(unseen, unseen_digits),
    }
    (directory / "samples.json").write_text(json.dumps(samples))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
