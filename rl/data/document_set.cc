#include "rl/data/document_set.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "rl/data/data_rows.h"

namespace grouper {
namespace {
constexpr uint64_t kBaseDocuments = 20000;
constexpr uint64_t kDemonstrations = 1500;

void CheckLengths(const std::vector<Document>& documents, int64_t max_positions) {
  size_t longest = 0;
  for (const Document& d : documents) longest = std::max(longest, d.ids.size());
  USER_CHECK(static_cast<int64_t>(longest) <= max_positions,
             "[data] a generated document is longer than policy.max_positions; raise it",
             Named("tokens", longest), Named("policy.max_positions", max_positions));
}

}  // namespace

DocumentSet::DocumentSet(const Config& config, const Tokenizer& tokenizer) : seed_(config.seed()) {
  const std::string& train = config.data().train();
  content_ = train;
  if (train == "tasks:base") {
    for (uint64_t i = 0; i < kBaseDocuments; ++i) {
      documents_.push_back(MakeBaseDocument(seed_, i, tokenizer));
    }
  } else if (train == "tasks:demonstrations") {
    for (uint64_t i = 0; i < kDemonstrations; ++i) {
      documents_.push_back(MakeDemonstration(seed_, i, tokenizer).document);
    }
  } else {
    USER_CHECK(train.rfind("tasks:", 0) != 0,
               "[data] for supervised training, data.train must be a file, tasks:base or "
               "tasks:demonstrations",
               Named("data.train", train));
    ReadRows(config, tokenizer);
    return;
  }
  CheckLengths(documents_, config.policy().max_positions());
}

void DocumentSet::ReadRows(const Config& config, const Tokenizer& tokenizer) {
  DataRows data = ReadDataRows({.path = config.data().train(),
                                .setting = "data.train",
                                .part = RowPart::kTraining,
                                .with_answer = true},
                               config, tokenizer);
  skipped_ = data.skipped;
  skip_reasons_ = std::move(data.skip_reasons);
  content_ = std::move(data.sha256);
  for (const DataRow& row : data.rows) {
    Document d;
    d.ids = row.prompt_ids;
    d.loss_mask.assign(d.ids.size(), 0);
    d.ids.insert(d.ids.end(), row.answer_ids.begin(), row.answer_ids.end());
    d.ids.push_back(tokenizer.eos());
    d.loss_mask.resize(d.ids.size(), 1);
    documents_.push_back(std::move(d));
  }
}

std::vector<Document> DocumentSet::Batch(int64_t step, int64_t count) const {
  std::vector<Document> batch;
  const uint64_t size = documents_.size();
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t at = static_cast<uint64_t>(step * count + i), epoch = at / size;
    if (epoch != epoch_) {
      order_ = EpochOrder(seed_, epoch, documents_.size());
      epoch_ = epoch;
    }
    batch.push_back(documents_[order_[at % size]]);
  }
  return batch;
}

}  // namespace grouper
