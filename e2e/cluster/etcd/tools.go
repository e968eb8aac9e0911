// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names etcd, which the cluster tests use; tools/gotools builds it.
package tools

import _ "go.etcd.io/etcd/server/v3"
