"""TF-IDF of words and word pairs with logistic regression (scikit-learn): a baseline for every model of text."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.errors import MerkitError
from merkit.core.model import ModelConfig, ModelSpec
from merkit.models._fitted import FittedBaseline, class_rows, from_bytes, labelled, to_bytes


class BagOfWordsConfig(ModelConfig):
    """Settings of ``bag_of_words``, in scikit-learn's terms."""

    ngrams: int = Field(default=2, ge=1)
    """Largest number of words in a term."""
    min_count: int = Field(default=1, ge=1)
    """Smallest number of training texts in which a term occurs."""
    sublinear: bool = False
    """Use ``1 + log(count)`` for the count of a term in a text."""
    inverse_penalty: float = Field(default=10.0, gt=0.0)
    """scikit-learn's ``C``; the default was chosen on MELD's validation split."""
    class_weights: Literal["none", "inverse"] = "none"
    """``inverse`` is scikit-learn's ``balanced``."""


class BagOfWords(FittedBaseline):
    """Logits from the text alone; a missing text gets the training split's class shares.

    Vocabulary, inverse document frequencies and weights are buffers: a checkpoint loads into a fresh model, and
    inference goes through the same scikit-learn vectorizer rebuilt from them.
    """

    vocabulary: Tensor
    idf: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: BagOfWordsConfig) -> None:
        super().__init__(encoders, classes, config)
        self.config = config
        self.register_buffer("vocabulary", to_bytes([]))
        self.register_buffer("idf", torch.zeros(0))
        self.register_buffer("weight", torch.zeros(classes, 0))
        self.register_buffer("bias", torch.zeros(classes))
        self._vectorizer: Any = None

    def fit(self, batches: Iterable[Batch], seed: int) -> None:
        """Fit the vectorizer and the regression; the solver is deterministic, ``seed`` changes nothing.

        Raises:
            MerkitError: No utterance has a label, or no term is common enough.
        """
        from sklearn.linear_model import LogisticRegression

        texts, labels = labelled("bag_of_words", batches)
        self.keep_prior(labels)
        has_text = np.asarray([text is not None for text in texts])
        words, labels = [text for text in texts if text is not None], labels[has_text]
        if labels.ndim == 1 and len(np.unique(labels)) < 2:
            # with a single class there is no regression: the class shares are used
            self.vocabulary, self.idf = to_bytes([]), torch.zeros(0)
            self.weight, self.bias = torch.zeros(self.classes, 0), self.log_prior.clone()
            self.forget()
            return
        vectorizer = self._make_vectorizer(min_df=self.config.min_count)
        try:
            features = vectorizer.fit_transform(words)
        except ValueError as error:  # scikit-learn raises it where the vocabulary is empty
            raise MerkitError(
                f"bag_of_words: no term occurs in {self.config.min_count} or more of the {len(words)} training texts; "
                "lower min_count or check the texts"
            ) from error

        def regression(classes: Any) -> Any:
            return LogisticRegression(
                C=self.config.inverse_penalty,
                class_weight="balanced" if self.config.class_weights == "inverse" else None,
                max_iter=1000,
            ).fit(features, classes)

        if labels.ndim == 1:
            weight, bias = class_rows(regression(labels), self.classes)
        else:  # one versus rest; a label that all training texts have, or none, gets its share
            weight = np.zeros((self.classes, features.shape[1]))
            bias = self.log_prior.double().numpy().copy()
            for number in np.flatnonzero((labels.min(axis=0) == 0) & (labels.max(axis=0) == 1)):
                fitted = regression(labels[:, number])
                weight[number], bias[number] = fitted.coef_[0], fitted.intercept_[0]
        self.vocabulary = to_bytes(list(vectorizer.get_feature_names_out()))
        self.idf = torch.from_numpy(vectorizer.idf_).float()
        self.weight, self.bias = torch.from_numpy(weight).float(), torch.from_numpy(bias).float()
        self.forget()

    def forget(self) -> None:
        """Drop the vectorizer that was built from the buffers."""
        self._vectorizer = None

    def forward(self, batch: Batch) -> ModelOutput:
        """Return log probabilities, or the log-odds of each label."""
        rows = self.log_prior.cpu().expand(len(batch.ids), self.classes).clone()
        with_text = [index for index, text in enumerate(batch.texts) if text is not None]
        if with_text:
            rows[with_text] = self._log_probabilities([text for text in batch.texts if text is not None])
        return ModelOutput(self.spread(rows, batch.mask))

    def _log_probabilities(self, texts: list[str]) -> Tensor:
        weight, bias = self.weight.cpu().double(), self.bias.cpu().double()
        scores = bias.expand(len(texts), self.classes)
        if self.idf.numel():
            vectorizer = self._vectorizer
            if vectorizer is None:
                terms = from_bytes(self.vocabulary)
                vectorizer = self._make_vectorizer(vocabulary={term: column for column, term in enumerate(terms)})
                vectorizer.idf_ = self.idf.cpu().double().numpy()
                self._vectorizer = vectorizer  # only now, as other threads use it as soon as they see it
            scores = scores + torch.from_numpy(vectorizer.transform(texts) @ weight.numpy().T)
        return (scores if self.multi_label else torch.log_softmax(scores, dim=-1)).float()

    def _make_vectorizer(self, **settings: Any) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(
            ngram_range=(1, self.config.ngrams), sublinear_tf=self.config.sublinear, dtype=np.float64, **settings
        )


SPEC = ModelSpec(
    name="bag_of_words",
    summary="TF-IDF of words and word pairs with logistic regression (baseline)",
    level="utterance",
    config=BagOfWordsConfig,
    build=BagOfWords,
    multi_label=True,
    modalities=(0, 0),
    inputs=frozenset({"texts"}),
)
