// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names the Go programs that the end-to-end tests use; tools/gotools builds them.
package tools

import (
	_ "sigs.k8s.io/cri-tools/cmd/crictl"
	_ "sigs.k8s.io/cri-tools/cmd/critest"
)
