// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/model_ops_ref.h"

namespace suffice {

void AddModelOpsRef(Backend& backend) {
  ref::AddLinear(backend);
  ref::AddNorm(backend);
  ref::AddRope(backend);
  ref::AddElementwise(backend);
  ref::AddEmbed(backend);
  ref::AddOptimizer(backend);
}

}  // namespace suffice
