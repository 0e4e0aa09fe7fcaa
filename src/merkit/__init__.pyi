"""The public names of merkit for type checkers; `__init__.py` imports each when it is first used."""

from merkit.api.corpora import doctor as doctor
from merkit.api.corpora import prepare as prepare
from merkit.api.corpora import report as report
from merkit.api.recognition import EmotionRecognizer as EmotionRecognizer
from merkit.api.recognition import Predictions as Predictions
from merkit.api.recognition import load as load
from merkit.api.runs import Run as Run
from merkit.api.runs import train as train
from merkit.core.batch import Batch as Batch
from merkit.core.batch import ModelOutput as ModelOutput
from merkit.core.batch import Padded as Padded
from merkit.core.corpus import CorpusOptions as CorpusOptions
from merkit.core.corpus import CorpusSpec as CorpusSpec
from merkit.core.corpus import Finding as Finding
from merkit.core.corpus import PublishedFeatures as PublishedFeatures
from merkit.core.corpus import RawCorpus as RawCorpus
from merkit.core.encoder import Encoder as Encoder
from merkit.core.encoder import EncoderConfig as EncoderConfig
from merkit.core.encoder import EncoderHome as EncoderHome
from merkit.core.encoder import EncoderSpec as EncoderSpec
from merkit.core.errors import CheckpointError as CheckpointError
from merkit.core.errors import ConfigError as ConfigError
from merkit.core.errors import CountError as CountError
from merkit.core.errors import ManifestError as ManifestError
from merkit.core.errors import MediaError as MediaError
from merkit.core.errors import MerkitError as MerkitError
from merkit.core.errors import UnknownNameError as UnknownNameError
from merkit.core.model import Citation as Citation
from merkit.core.model import FittedModel as FittedModel
from merkit.core.model import Model as Model
from merkit.core.model import ModelConfig as ModelConfig
from merkit.core.model import ModelSpec as ModelSpec
from merkit.core.protocol import Fold as Fold
from merkit.core.protocol import Protocol as Protocol
from merkit.core.protocol import ProtocolOptions as ProtocolOptions
from merkit.core.protocol import ProtocolSpec as ProtocolSpec
from merkit.core.types import Conversation as Conversation
from merkit.core.types import Prediction as Prediction
from merkit.core.types import Turn as Turn
from merkit.core.types import Utterance as Utterance
from merkit.core.waveform import Waveform as Waveform
from merkit.recordings.analysis import Analysis as Analysis

__version__: str
