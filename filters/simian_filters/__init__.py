"""Request faults for services that mount them; see README.md. Import from the modules: nothing is loaded unasked."""
