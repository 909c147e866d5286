"""What the runs say: stores -> tidy frames -> tables and figures. Reads the stores only, never a run's memory."""
