"""Launchers: command lines carried out in processes of their own, on this machine, a Ray cluster or a Slurm cluster."""
