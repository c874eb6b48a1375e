"""Remove one substitution from a plan: python edit.py PLAN PART-OF-A-DISPATCH'S-NAME"""

import json
import sys
from pathlib import Path

file, part = Path(sys.argv[1]), sys.argv[2]
plan = json.loads(file.read_text())
kept = [s for s in plan["substitutions"] if part not in s["dispatch"]]
if len(kept) != len(plan["substitutions"]) - 1:
    sys.exit(f"{part} is in the name of {len(plan['substitutions']) - len(kept)} dispatches, not of one")
plan["substitutions"] = kept
file.write_text(json.dumps(plan, indent=2))
