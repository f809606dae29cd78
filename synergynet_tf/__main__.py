"""The `synergynet` command as `python -m synergynet_tf`."""

from synergynet_tf.cli.synergynet import main

if __name__ == "__main__":
    main()
