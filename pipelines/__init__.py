"""Sample training pipelines; run in the models environment. They import nothing of the portal."""
