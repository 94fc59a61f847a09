"""CloudEvents from the bus -> decisions -> actions. `pipeline` is the spine; one module per trigger in `triggers`."""
