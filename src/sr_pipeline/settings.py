"""Kedro project settings."""

import warnings

from sr_pipeline.hooks import CacheProtection, MlflowTracking, ProjectChecks

# Kedro 1.7 calls a function that OmegaConf 2.4 has renamed; nothing here can change that.
warnings.filterwarnings("ignore", message=r"register_new_resolver\(\) is deprecated")

# Kedro calls the last registered first: checks come before tracking.
HOOKS = (MlflowTracking(), CacheProtection(), ProjectChecks())

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment states only the parameters it changes, at any depth.
    "merge_strategy": {"parameters": "soft"},
}
