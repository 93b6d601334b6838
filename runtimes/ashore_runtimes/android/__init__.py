"""What stands between ashore and a device behind adb: the client, what it says, what is kept there."""
