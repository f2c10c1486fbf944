"""GitHub, and every forge that speaks its API, through PyGithub. Each call looks before it acts."""
