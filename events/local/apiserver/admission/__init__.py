"""What is asked before an object is stored: rules built in, policies in CEL, and webhooks, which are called.

Order: `chain.Admission.mutate` (namespace, service account, mutating webhooks), then validation and defaults by the
caller, then `chain.Admission.validate` (policies, validating webhooks).
"""
