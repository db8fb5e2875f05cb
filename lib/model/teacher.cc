// SPDX-License-Identifier: Apache-2.0
#include "lib/model/teacher.h"

namespace suffice {

Tensor ModelTeacher::Velocity(uint64_t /*first_sample*/, const Tensor& tokens,
                              const TokenGeometry& geometry, const Conditioning& conditioning) {
  Tape tape(model_->context(), Tape::Mode::kInfer);
  return model_->Forward(tape, tokens, geometry, conditioning).value();
}

}  // namespace suffice
