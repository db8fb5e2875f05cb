// SPDX-License-Identifier: Apache-2.0
// safetensors and npy files as one tensor file of type capture.
#pragma once

#include <string>
#include <vector>

#include "lib/generate/verbs.h"

namespace suffice::generate {

bool IsArrayFile(const std::string& path);  // by its ending: .safetensors, .npy

// Every tensor under its own name, an .npy's under the file's name up to its first dot: q.npy,
// k.npy and v.npy become /q, /k and /v. layers.N.q (and k, v) becomes /layers/N/q: what export made
// of a capture comes back as one. Read, checked for NaN and infinity and written one after the
// other.
Report ImportTensors(const ImportConfig& config, RunScope& scope);

}  // namespace suffice::generate
