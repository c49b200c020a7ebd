#include "models/token_workload.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "base/error.h"

namespace stamp {
namespace {

class TokenWindows : public Workload {
 public:
  TokenWindows(std::shared_ptr<const std::vector<std::int32_t>> ids, std::vector<std::int64_t> starts,
               std::int64_t context, std::int64_t bos, Json description, std::string protocol)
      : ids_(std::move(ids)),
        starts_(std::move(starts)),
        context_(context),
        bos_(bos),
        description_(std::move(description)),
        protocol_(std::move(protocol)) {}

  std::int64_t count() const override { return static_cast<std::int64_t>(starts_.size()); }
  std::int64_t tokens_per_item() const override { return context_; }
  Json description() const override { return description_; }
  std::string protocol() const override { return protocol_; }
  WorkItem item(std::int64_t i) const override {
    const std::int64_t start = starts_.at(static_cast<std::size_t>(i));
    at::Tensor ids = at::empty({context_}, at::TensorOptions(at::kLong));
    std::copy_n(ids_->begin() + start, context_, ids.data_ptr<std::int64_t>());
    if (bos_ >= 0) ids.data_ptr<std::int64_t>()[0] = bos_;
    WorkItem item;
    item.index = i;
    item.inputs["ids"] = std::move(ids);
    return item;
  }

 private:
  std::shared_ptr<const std::vector<std::int32_t>> ids_;
  std::vector<std::int64_t> starts_;
  std::int64_t context_, bos_;  // bos_ -1: ids as they are
  Json description_;
  std::string protocol_;
};

}  // namespace

const TokenizedTexts::Entry& TokenizedTexts::tokenized(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = entries_.find(name); found != entries_.end()) return found->second;
  Entry entry;
  entry.text = load_text(name, ".");
  std::vector<std::int32_t> ids = tokenizer_.encode(entry.text.content, true);
  entry.text.content.clear();
  entry.text.content.shrink_to_fit();
  if (const auto outside =
          std::find_if(ids.begin(), ids.end(), [&](std::int32_t id) { return id < 0 || id >= vocabulary_; });
      outside != ids.end())
    throw DataError("the tokenizer made id " + std::to_string(*outside) + " of " + entry.text.name +
                    ", the model knows ids up to " + std::to_string(vocabulary_ - 1));
  entry.ids = std::make_shared<const std::vector<std::int32_t>>(std::move(ids));
  return entries_.emplace(name, std::move(entry)).first->second;
}

std::unique_ptr<Workload> TokenizedTexts::windows(const std::string& text, const WindowRequest& request,
                                                  const std::string& bos) const {
  const Entry& entry = tokenized(text);
  const auto tokens = static_cast<std::int64_t>(entry.ids->size());
  std::vector<std::int64_t> starts = window_starts(tokens, request, entry.text.name);
  const bool each = bos == "each_window";
  if (each && tokenizer_.bos() < 0)
    throw DataError("data.bos: each_window: the model's tokenizer has no BOS token; allowed: start");
  const std::string tokenizer_digest = tokenizer_.digest().substr(0, 8);
  Json description = {{"name", entry.text.name},
                      {"digest", entry.text.digest},
                      {"joined", entry.text.protocol},
                      {"path", entry.text.path},
                      {"tokens", tokens},
                      {"context", request.context},
                      {"windows", starts.size()},
                      {"bos", bos},
                      {"tokenizer", tokenizer_.digest()}};
  if (request.random) description["selection"] = "random, seed " + std::to_string(request.seed);
  const std::string protocol = "context " + std::to_string(request.context) + ", " + std::to_string(starts.size()) +
                               " windows, text " + entry.text.name + " (" + entry.text.protocol + ") sha " +
                               entry.text.digest.substr(0, 8) + ", tokenizer " + tokenizer_digest + ", bos " + bos;
  return std::make_unique<TokenWindows>(entry.ids, std::move(starts), request.context, each ? tokenizer_.bos() : -1,
                                        std::move(description), protocol);
}

}  // namespace stamp
