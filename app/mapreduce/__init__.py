"""The Week 9 engine: jobs, phases, tasks, on the three protocols of the lesson."""
