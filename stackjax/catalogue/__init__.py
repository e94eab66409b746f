"""Name -> constructor: read by the command line, the tests and the benchmarks alike. A new name is one line here."""

from stackjax.catalogue.bandits import ALIASES as ALIASES
from stackjax.catalogue.bandits import FAMILIES as FAMILIES
from stackjax.catalogue.bandits import FOLLOWERS as FOLLOWERS
from stackjax.catalogue.bandits import INSTANCES as INSTANCES
from stackjax.catalogue.bandits import LEADERS as LEADERS
from stackjax.catalogue.bandits import PAIRS as PAIRS
from stackjax.catalogue.bandits import TUNED as TUNED
from stackjax.catalogue.bandits import InstanceEntry as InstanceEntry
from stackjax.catalogue.games import GAMES as GAMES
from stackjax.catalogue.games import GameEntry as GameEntry
from stackjax.catalogue.games import Method as Method
from stackjax.catalogue.learners import LEARNERS as LEARNERS
from stackjax.catalogue.markov import MARKOV_GAMES as MARKOV_GAMES
from stackjax.catalogue.markov import MARKOV_LEADERS as MARKOV_LEADERS
from stackjax.catalogue.markov import ORACLES as ORACLES
from stackjax.catalogue.markov import LeaderEntry as LeaderEntry
from stackjax.catalogue.markov import MarkovEntry as MarkovEntry
from stackjax.catalogue.markov import OracleEntry as OracleEntry
from stackjax.catalogue.markov import leading as leading
