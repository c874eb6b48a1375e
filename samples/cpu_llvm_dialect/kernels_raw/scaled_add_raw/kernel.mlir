// iree_hal_executable_dispatch_v0_t: environment, dispatch state, workgroup state; 0 for success.
// On a 64-bit machine the pointer to the bindings lies 32 bytes into the dispatch state, and the workgroup state
// starts with the x of the id.
llvm.func @workgroup(%environment: !llvm.ptr, %dispatch: !llvm.ptr, %state: !llvm.ptr) -> i32 {
  %zero = llvm.mlir.constant(0 : i64) : i64
  %one = llvm.mlir.constant(1 : i64) : i64
  %columns = llvm.mlir.constant(48 : i64) : i64
  %three = llvm.mlir.constant(3.0 : f32) : f32
  %field = llvm.getelementptr %dispatch[32] : (!llvm.ptr) -> !llvm.ptr, i8
  %bindings = llvm.load %field : !llvm.ptr -> !llvm.ptr
  %second = llvm.getelementptr %bindings[1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  %third = llvm.getelementptr %bindings[2] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  %a = llvm.load %bindings : !llvm.ptr -> !llvm.ptr
  %b = llvm.load %second : !llvm.ptr -> !llvm.ptr
  %y = llvm.load %third : !llvm.ptr -> !llvm.ptr
  %id = llvm.load %state : !llvm.ptr -> i32
  %row = llvm.zext %id : i32 to i64
  %first = llvm.mul %row, %columns : i64
  %last = llvm.add %first, %columns : i64
  llvm.br ^body(%first : i64)
^body(%i: i64):
  %pa = llvm.getelementptr %a[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %pb = llvm.getelementptr %b[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %py = llvm.getelementptr %y[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %va = llvm.load %pa : !llvm.ptr -> f32
  %vb = llvm.load %pb : !llvm.ptr -> f32
  %scaled = llvm.fmul %va, %three : f32
  %sum = llvm.fadd %scaled, %vb : f32
  llvm.store %sum, %py : f32, !llvm.ptr
  %next = llvm.add %i, %one : i64
  %more = llvm.icmp "ult" %next, %last : i64
  llvm.cond_br %more, ^body(%next : i64), ^done
^done:
  %success = llvm.mlir.constant(0 : i32) : i32
  llvm.return %success : i32
}
