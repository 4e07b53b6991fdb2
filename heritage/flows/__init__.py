"""What the DAGs and the commands do, one flow a module: a plan first, then its execution; every flow may run twice."""
