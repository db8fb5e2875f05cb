// SPDX-License-Identifier: Apache-2.0
#include "lib/model/classifier_file.h"

#include "lib/base/error.h"

namespace suffice {

ClassifierInfo ReadClassifierInfo(const TensorReader& reader) {
  const std::string& path = reader.path();
  if (reader.header().encoding_type != EncodingType::kClassifier) {
    throw DataError("{}: a {} file, a classifier is wanted", path,
                    NameOf(reader.header().encoding_type));
  }
  ClassifierInfo info;
  const ModelInfo blocks = ReadArchitecture(reader);
  info.architecture = blocks.architecture;
  info.resolution = blocks.resolution;
  if (info.architecture.classes > 0 || info.architecture.context_dim > 0) {
    throw DataError("{}: /architecture: {} labels and a context of {}, a classifier has none", path,
                    info.architecture.classes, info.architecture.context_dim);
  }
  info.classes = reader.ReadStrings("/classes");
  if (info.classes.size() < 2) {
    throw DataError("{}: /classes: {} names, at least two are wanted", path, info.classes.size());
  }
  info.draws = reader.IntAttribute("/accuracy", "draws").value_or(-1);
  info.correct = reader.IntAttribute("/accuracy", "correct").value_or(-1);
  info.population = reader.StringAttribute("/accuracy", "population").value_or("");
  if (info.correct < 0 || info.correct > info.draws) {
    throw DataError("{}: /accuracy: {} correct of {} draws", path, info.correct, info.draws);
  }
  return info;
}

std::unique_ptr<VideoClassifier> LoadClassifier(Context& context, const TensorReader& reader,
                                                const ClassifierInfo& info, DType compute) {
  auto classifier = std::make_unique<VideoClassifier>(context, info, compute);
  classifier->trunk().parameters().Import(ReadWeights(reader), reader.path());
  return classifier;
}

void WriteClassifier(TensorWriter* writer, const ClassifierInfo& info,
                     const std::vector<NamedArray>& weights) {
  ModelInfo blocks;
  blocks.architecture = info.architecture;
  blocks.resolution = info.resolution;
  blocks.classes = info.classes;
  WriteModel(writer, blocks, weights, DType::kF32);
  writer->Attribute("/accuracy", "draws", info.draws);
  writer->Attribute("/accuracy", "correct", info.correct);
  writer->Attribute("/accuracy", "population", info.population);
}

}  // namespace suffice
