"""The public names of merkit for type checkers; `__init__.py` imports each when it is first used."""

from merkit.api.recognition import EmotionRecognizer as EmotionRecognizer, Predictions as Predictions, load as load
from merkit.api.runs import Run as Run, train as train
from merkit.api.corpora import doctor as doctor, prepare as prepare, report as report
from merkit.recordings.analysis import Analysis as Analysis
from merkit.core.types import Conversation as Conversation, Prediction as Prediction, Turn as Turn, Utterance as Utterance
from merkit.core.waveform import Waveform as Waveform
from merkit.core.batch import Batch as Batch, ModelOutput as ModelOutput, Padded as Padded
from merkit.core.model import Citation as Citation, FittedModel as FittedModel, Model as Model, ModelConfig as ModelConfig, ModelSpec as ModelSpec
from merkit.core.encoder import Encoder as Encoder, EncoderConfig as EncoderConfig, EncoderHome as EncoderHome, EncoderSpec as EncoderSpec
from merkit.core.corpus import CorpusOptions as CorpusOptions, CorpusSpec as CorpusSpec, Finding as Finding, PublishedFeatures as PublishedFeatures, RawCorpus as RawCorpus
from merkit.core.protocol import Fold as Fold, Protocol as Protocol, ProtocolOptions as ProtocolOptions, ProtocolSpec as ProtocolSpec
from merkit.core.errors import CheckpointError as CheckpointError, ConfigError as ConfigError, CountError as CountError, ManifestError as ManifestError, MediaError as MediaError, MerkitError as MerkitError, UnknownNameError as UnknownNameError

__version__: str
