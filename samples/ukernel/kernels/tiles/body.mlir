// What IREE compiles instead: a workgroup for each 8 × 16 tile of c, which calls the micro-kernel.
func.func @body(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %M = tensor.dim %a, %c0 : tensor<?x?xf32>
  %K = tensor.dim %a, %c1 : tensor<?x?xf32>
  %N = tensor.dim %b, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%M, %N) : tensor<?x?xf32>
  %c = scf.forall (%m, %n) = (0, 0) to (%M, %N) step (8, 16) shared_outs(%out = %empty) -> (tensor<?x?xf32>) {
    %rows = affine.min affine_map<(d0)[s0] -> (8, s0 - d0)>(%m)[%M]
    %columns = affine.min affine_map<(d0)[s0] -> (16, s0 - d0)>(%n)[%N]
    %at = tensor.extract_slice %a[%m, 0] [%rows, %K] [1, 1] : tensor<?x?xf32> to tensor<?x?xf32>
    %bt = tensor.extract_slice %b[0, %n] [%K, %columns] [1, 1] : tensor<?x?xf32> to tensor<?x?xf32>
    %ct = tensor.extract_slice %out[%m, %n] [%rows, %columns] [1, 1] : tensor<?x?xf32> to tensor<?x?xf32>
    %tile = iree_codegen.ukernel.generic "tile_matmul"
        ins(%at, %bt : tensor<?x?xf32>, tensor<?x?xf32>) outs(%ct : tensor<?x?xf32>)
        (%rows, %columns, %K : index, index, index)
        fn_def_attrs {hal.import.static, llvm.bareptr = true}
        strided_dims([[0], [0], [0]]) -> tensor<?x?xf32>
    scf.forall.in_parallel {
      tensor.parallel_insert_slice %tile into %out[%m, %n] [%rows, %columns] [1, 1]
          : tensor<?x?xf32> into tensor<?x?xf32>
    }
  } {mapping = [#iree_codegen.workgroup_mapping<y>, #iree_codegen.workgroup_mapping<x>]}
  return %c : tensor<?x?xf32>
}
