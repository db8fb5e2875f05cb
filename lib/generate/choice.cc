// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/choice.h"

#include <algorithm>

#include "lib/base/error.h"
#include "lib/model/held_out.h"
#include "lib/policy/selection.h"

namespace suffice::generate {
namespace {

Choice Open(const std::string& path) {
  TensorReader file(path, EncodingType::kModel);
  ModelInfo info = ReadModelInfo(file);
  return {std::move(file), std::move(info), {}};
}

Choice OfContract(RunScope& scope, const std::string& name) {
  Choice choice = Open(scope.Input("model"));
  choice.setting = SettingOfContract(choice.info, name, choice.file.path());
  return choice;
}

Choice OfRung(const std::string& path, const Rung& rung, const std::string& selection_path) {
  Choice choice = Open(path);
  const VideoDitConfig& a = choice.info.architecture;
  CheckSettings({rung.setting}, a.depth, a.heads, selection_path);
  choice.setting = rung.setting;
  return choice;
}

Selection ReadSelectionOf(RunScope& scope, const std::string& name) {
  if (!name.empty()) {
    throw UsageError("setting '{}': asked for beside {}, which names the setting itself", name,
                     scope.Input("selection"));
  }
  return ReadSelection(scope.Input("selection"));
}

// "sparse.h5 is 0123456789abcdef, ..."
std::string Given(RunScope& scope, const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) {
    text += fmt::format("{}{} is {}", text.empty() ? "" : ", ", file,
                        scope.DigestOf(file).substr(0, 16));
  }
  return text;
}

std::string Wanted(const Rung& rung) {
  return fmt::format("model {} with setting '{}'", rung.model.substr(0, 16), rung.setting.name);
}

}  // namespace

Choice ChooseSetting(RunScope& scope, const std::string& name) {
  if (!scope.Has("selection")) return OfContract(scope, name);
  const std::string& path = scope.Input("model");
  const Selection selection = ReadSelectionOf(scope, name);
  for (const Rung& rung : selection.rungs) {
    if (rung.model == scope.DigestOf(path)) return OfRung(path, rung, scope.Input("selection"));
  }
  throw UsageError("{}: its first rung is {}, none is of the file given: {}",
                   scope.Input("selection"), Wanted(selection.rungs.front()), Given(scope, {path}));
}

Choice ChooseRung(RunScope& scope, const std::string& name) {
  std::vector<std::string> files = {scope.Input("model")};
  for (const std::string& path : scope.Inputs("fallback")) files.push_back(path);
  if (!scope.Has("selection")) {
    if (files.size() > 1) {
      throw UsageError("{}: a fallback is chosen by a selection, and none is given", files[1]);
    }
    return OfContract(scope, name);
  }
  const std::string& selection_path = scope.Input("selection");
  const Selection selection = ReadSelectionOf(scope, name);
  const auto file_of = [&](const Rung& rung) {
    return std::find_if(files.begin(), files.end(), [&](const std::string& file) {
      return scope.DigestOf(file) == rung.model;
    });
  };
  const Rung& first = selection.rungs.front();
  if (file_of(first) != files.end()) return OfRung(*file_of(first), first, selection_path);
  const bool any = std::any_of(selection.rungs.begin(), selection.rungs.end(),
                               [&](const Rung& rung) { return file_of(rung) != files.end(); });
  if (!any) {
    throw UsageError("{}: its first rung is {}, none is of the files given: {}", selection_path,
                     Wanted(first), Given(scope, files));
  }
  throw DataError("{}: the file of its first rung, {}, is not given; the files given: {}",
                  selection_path, Wanted(first), Given(scope, files));
}

void RequireClips(const Choice& choice, const ClipDataset& data, const std::string& data_path) {
  const ModelInfo& info = choice.info;
  data.RequireShape(ClipShapeOf(info), true, data_path);
  if (info.architecture.in_channels != 3 || info.architecture.context_dim > 0) {
    throw UsageError("{}: {} channels, context of {}; clips have 3 channels and no context",
                     choice.file.path(), info.architecture.in_channels,
                     info.architecture.context_dim);
  }
  if (info.architecture.classes > 0 && info.classes != data.classes()) {
    throw UsageError("{}: its classes are not those of {}", data_path, choice.file.path());
  }
}

std::unique_ptr<VideoDit> Load(Context& context, const Choice& choice, const std::string& compute) {
  return LoadModel(context, choice.file, choice.info,
                   compute == "bf16" ? DType::kBF16 : DType::kF32);
}

}  // namespace suffice::generate
