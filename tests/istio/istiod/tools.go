//go:build tools

// Package tools pins the control plane of Istio that the tests run; `make var/cluster/istiod` builds it.
package tools

import _ "istio.io/istio/pilot/cmd/pilot-discovery"
