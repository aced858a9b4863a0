"""Says which variant of a flag each of the keys `user-0` to `user-N` gets: by an OpenFeature provider of flagd that reads the
file itself.

    python3 evaluate.py FILE FLAG N
"""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

path, flag, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
api.set_provider_and_wait(
    FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=path)
)
client = api.get_client()
variants = []
for number in range(count):
    details = client.get_boolean_details(flag, False, EvaluationContext(f"user-{number}"))
    if details.error_code is not None:
        sys.exit(f"user-{number}: {details.error_code} {details.error_message}")
    variants.append(details.variant)
json.dump(variants, sys.stdout)
sys.stdout.flush()
api.shutdown()
