// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/backend_cpu.h"

#include "kernels/cpu/attention_cpu.h"
#include "kernels/cpu/model_ops_cpu.h"
#include "kernels/host_memory.h"

namespace suffice {

const Backend& CpuBackend() {
  static const Backend backend = [] {
    Backend table = HostBackend("cpu");
    AddAttentionCpu(table);
    table.describe = [](const Context& context) {
      return fmt::format("cpu {}", NameOf(context.isa()));
    };
    AddModelOpsCpu(table);
    return table;
  }();
  return backend;
}

}  // namespace suffice
