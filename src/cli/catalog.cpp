#include "cli/catalog.h"

#include "data/text.h"
#include "eval/register.h"
#include "methods/register.h"
#include "models/info/architecture.h"
#include "quant/allocation.h"
#include "tasks/task.h"
#include "transforms/sequence_transform.h"
#include "weights/register.h"

namespace stamp {

Catalog make_catalog() {
  Catalog catalog;
  for (PluginInfo& info : known_architectures()) catalog.add(PluginKind::architecture, std::move(info));
  for (const SequenceTransformPlugin& p : sequence_transforms()) catalog.add(PluginKind::sequence_transform, p.info);
  for_each_method([&]<class T>() { catalog.add(PluginKind::method, T::info()); });
  for_each_weight_quantizer([&]<class T>() { catalog.add(PluginKind::weight_quantizer, T::info()); });
  for (const AllocatorPlugin& p : allocators()) catalog.add(PluginKind::allocator, p.info);
  for_each_metric([&]<class T>() { catalog.add(PluginKind::metric, T::info()); });
  for (PluginInfo& info : known_texts()) catalog.add(PluginKind::text, std::move(info));
  for (const TaskPlugin& t : tasks()) catalog.add(PluginKind::task, t.info);
  return catalog;
}

}  // namespace stamp
