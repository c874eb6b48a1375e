// IREE's own way, for --iree-preprocessing-transform-spec-filename: a matcher for the operation, and what to call instead.
// It sees the program before IREE forms dispatches; it names the target, the layout and the constants itself.
#vulkan = #hal.executable.target<"vulkan-spirv", "vulkan-spirv-fb", {
  iree_codegen.target_info = #iree_gpu.target<arch = "", features = "spirv:v1.3,cap:Shader", wgp = <
    compute = fp32|int32, storage = b32, subgroup = none, subgroup_size_choices = [64],
    max_workgroup_sizes = [128, 128, 64], max_thread_count_per_workgroup = 128, max_workgroup_memory_bytes = 16384,
    max_workgroup_counts = [65535, 65535, 65535]>>
}>

module attributes {transform.with_named_sequence} {
  util.func private @call_argmax(%x: tensor<?x?xf32>) -> tensor<?xi64> {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %rows = tensor.dim %x, %c0 : tensor<?x?xf32>
    %columns = tensor.dim %x, %c1 : tensor<?x?xf32>
    %word = arith.index_cast %columns : index to i32
    %at = hal.dispatch.extern "main"[%rows](%word, %x) : (i32, tensor<?x?xf32>{%rows, %columns}) -> tensor<?xi64>{%rows}
      count(%device: !hal.device, %count: index) -> (index, index, index) {
        %one = arith.constant 1 : index
        hal.return %count, %one, %one : index, index, index
      }
      layout(#hal.pipeline.layout<constants = 1, bindings = [
        #hal.pipeline.binding<storage_buffer, ReadOnly>,
        #hal.pipeline.binding<storage_buffer>
      ]>)
      objects({#vulkan ordinal(0) = [#hal.executable.object<{path = "argmax.spv"}>]})
    util.return %at : tensor<?xi64>
  }

  transform.named_sequence @is_argmax(%op: !transform.any_op {transform.readonly}) -> !transform.any_op {
    transform.match.operation_name %op ["linalg.generic"] : !transform.any_op
    %x = transform.get_operand %op[0] : (!transform.any_op) -> !transform.any_value
    transform.iree.match.cast_compatible_type %x = tensor<?x?xf32> : !transform.any_value
    transform.iree.match.dim_is_multiple_of %x[1], 64 : !transform.any_value
    transform.iree.match.regions %op : !transform.any_op {
    ^bb0(%input: tensor<?x?xf32>, %largest_init: tensor<?xf32>, %at_init: tensor<?xi64>):
      %best:2 = linalg.generic {
          indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (m)>],
          iterator_types = ["parallel", "reduction"]}
          ins(%input : tensor<?x?xf32>) outs(%largest_init, %at_init : tensor<?xf32>, tensor<?xi64>) {
      ^bb0(%score: f32, %largest: f32, %at: i64):
        %n = linalg.index 1 : index
        %here = arith.index_cast %n : index to i64
        %larger = arith.maximumf %score, %largest : f32
        %is = arith.cmpf ogt, %score, %largest : f32
        %where = arith.select %is, %here, %at : i64
        linalg.yield %larger, %where : f32, i64
      } -> (tensor<?xf32>, tensor<?xi64>)
    }
    transform.yield %op : !transform.any_op
  }

  transform.named_sequence @call_instead(%op: !transform.any_op {transform.readonly}) {
    %module = transform.util.get_nearest_symbol_table %op : (!transform.any_op) -> !transform.any_op
    %function = transform.util.import_symbol @call_argmax into %module if undefined
        : (!transform.any_op) -> !transform.any_op
    %x = transform.get_operand %op[0] : (!transform.any_op) -> !transform.any_value
    %at = transform.get_result %op[1] : (!transform.any_op) -> !transform.any_value
    transform.util.cast_and_call %function(%x) -> %at before %op {
      transform.type_conversion.tensor.cast_shape_dynamic_dims
    } : (!transform.any_op, !transform.any_value, !transform.any_value, !transform.any_op) -> !transform.any_op
    transform.yield
  }

  transform.named_sequence @__transform_main(%module: !transform.any_op) {
    %functions = transform.structured.match ops{["util.func"]} in %module : (!transform.any_op) -> !transform.any_op
    transform.foreach %functions : !transform.any_op {
    ^bb0(%function: !transform.any_op):
      transform.foreach_match in %function @is_argmax -> @call_instead : (!transform.any_op) -> !transform.any_op
    }
    transform.apply_dce to %module : !transform.any_op
    transform.yield
  }
}
