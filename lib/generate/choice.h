// SPDX-License-Identifier: Apache-2.0
// Which model and which setting a run may use, and what sample, capture and evaluate check alike.
#pragma once

#include <memory>
#include <string>

#include "lib/model/model_file.h"
#include "lib/policy/clips.h"
#include "lib/run/run_scope.h"

namespace suffice::generate {

struct Choice {
  TensorReader file;
  ModelInfo info;
  Setting setting;

  BlockSize block() const { return info.block(); }
};

// Of the one argument model. The setting is the contract's of that name, its first if the name is
// empty, dense for a dense model; with a --selection, that of its first rung for this very file.
// kUsage, naming both sides, for a setting that the contract does not have, for a selection without
// such a rung, and for a name beside a selection.
Choice ChooseSetting(RunScope& scope, const std::string& name);

// Of the argument model and every --fallback: with a --selection its first rung, whose file is
// found by content digest; without one as above. kData, naming the model that is missing, when the
// first rung's file is not given; kUsage when no rung's is.
Choice ChooseRung(RunScope& scope, const std::string& name);

// kUsage unless these clips, with their classes, are what the model takes; held-out draws wanted.
void RequireClips(const Choice& choice, const ClipDataset& data, const std::string& data_path);

std::unique_ptr<VideoDit> Load(Context& context, const Choice& choice, const std::string& compute);

}  // namespace suffice::generate
