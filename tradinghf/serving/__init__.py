"""Everything the dashboard computes: payloads, answers, access, jobs. No torch, no vectorbt."""
