"""What the values of the domain are as Kubernetes objects: the same for the adapters, which apply them, and
for the pages, which show them. Pure: plain dicts in the order in which people read them."""
