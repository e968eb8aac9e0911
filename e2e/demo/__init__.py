# SPDX-License-Identifier: Apache-2.0
"""`make demo`: a pod in its own Xen domain, shown to a person."""
