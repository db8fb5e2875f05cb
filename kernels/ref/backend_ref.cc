// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/backend_ref.h"

#include "kernels/host_memory.h"
#include "kernels/ref/attention_ref.h"
#include "kernels/ref/model_ops_ref.h"

namespace suffice {

const Backend& RefBackend() {
  static const Backend backend = [] {
    Backend table = HostBackend("ref");
    AddModelOpsRef(table);
    AddAttentionRef(table);
    return table;
  }();
  return backend;
}

}  // namespace suffice
