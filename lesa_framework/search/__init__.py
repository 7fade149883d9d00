"""From a budget of computed steps to a schedule: candidates are fitted, judged by closed-loop runs, and moved."""
