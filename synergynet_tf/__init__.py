"""SynergyNet (Gorade et al., WACV 2024) and its rivals, in Keras 3."""

__version__ = "0.1.0"
