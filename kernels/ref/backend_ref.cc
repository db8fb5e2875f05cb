// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/backend_ref.h"

#include "kernels/host_memory.h"

namespace suffice {

const Backend& RefBackend() {
  static const Backend backend = [] {
    Backend table = HostBackend("ref");
    return table;
  }();
  return backend;
}

}  // namespace suffice
