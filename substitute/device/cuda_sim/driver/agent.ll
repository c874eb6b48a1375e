; The native half of the simulated CUDA driver. It knows nothing about CUDA.
;
; Each driver function (build.py writes them below this text) puts its number and its arguments into a request and
; calls @ask. That sends the request to the server, a Python process, and does in this process's memory what the server
; tells it to, until the server says what the function returns. All else is decided in the server.
;
; A request is fifteen 64-bit words: the function's number, the thread, thirteen arguments.
; A command is four 64-bit words. The first says what to do, the others with what:
;   0  return    result, function to call first (or 0), its argument
;   1  send      address, length           the bytes follow the answer
;   2  receive   address, length           the server sends the bytes after the answer
;   3  copy      destination, source, length
; All but the first are answered by one word: 1 if the memory is there, 0 if not (then nothing is sent, and of a copy
; only what comes before the first byte that is not there).
;
; Other threads of this process may unmap or protect memory at any time, so it is the kernel that copies between it and
; the device's memory (pread and pwrite on the file behind that): the kernel answers with an error, not with a signal.
;
; This is LLVM's assembly so that packages which the project needs anyway can build it, llvmlite and the linker inside
; iree-base-compiler: the user needs no C compiler and no CUDA headers. Numbers are those of Linux, any 64-bit CPU.
;
; From build.py: @server_program, @server_arguments, @functions, and the numbers ARENA_SIZE, ERROR_NAME, ERROR_STRING.

@lock = internal global [64 x i8] zeroinitializer, align 16   ; a pthread_mutex_t: zeros are an unlocked one
@connection = internal global i32 -1                          ; the socket; -1 before the first request or once lost
@owner = internal global i32 0                                ; the process that started the server, 0 before
@arena_file = internal global i32 -1                          ; the device's memory as a file
@arena_base = internal global i64 0                           ; where it is mapped

@arena_name = private constant [22 x i8] c"simulated CUDA memory\00"
@null_device = private constant [10 x i8] c"/dev/null\00"
@unknown_name = private constant [19 x i8] c"CUDA_ERROR_UNKNOWN\00"
@lost_words = private constant [66 x i8] c"the process that executes for the simulated CUDA device has ended\00"
@failed_words = private constant [61 x i8] c"the simulated CUDA device: its server cannot be started: %s\0A\00"

declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i64 @pthread_self()
declare i32 @getpid()
declare i32 @getpagesize()
declare i32 @socketpair(i32, i32, i32, ptr)
declare i32 @memfd_create(ptr, i32)
declare i32 @ftruncate(i32, i64)
declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare i32 @msync(ptr, i64, i32)
declare i32 @madvise(ptr, i64, i32)
declare i64 @pread64(i32, ptr, i64, i64)
declare i64 @pwrite64(i32, ptr, i64, i64)
declare i32 @fcntl(i32, i32, ...)
declare i32 @close(i32)
declare i64 @send(i32, ptr, i64, i32)
declare i64 @recv(i32, ptr, i64, i32)
declare i32 @posix_spawn_file_actions_init(ptr)
declare i32 @posix_spawn_file_actions_adddup2(ptr, i32, i32)
declare i32 @posix_spawn_file_actions_addopen(ptr, i32, ptr, i32, i32)
declare i32 @posix_spawn_file_actions_destroy(ptr)
declare i32 @posix_spawn(ptr, ptr, ptr, ptr, ptr, ptr)
declare ptr @__errno_location()
declare ptr @strerror(i32)
declare i32 @dprintf(i32, ptr, ...)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
@environ = external global ptr

; Sends a request and obeys; the function's result. One request at a time in the whole process.
define internal i32 @ask(ptr %request) {
entry:
  %command = alloca [4 x i64]
  %answer = alloca i64
  call i32 @pthread_mutex_lock(ptr @lock)
  %process = call i32 @getpid()
  %owner = load i32, ptr @owner
  %is_first = icmp eq i32 %owner, 0
  br i1 %is_first, label %first, label %later

first:
  store i32 %process, ptr @owner
  call void @start(i32 %process)
  br label %connected

later:
  ; as with the real driver, the child of a fork cannot go on with what its parent has
  %is_owner = icmp eq i32 %owner, %process
  br i1 %is_owner, label %connected, label %forked

connected:
  %socket = load i32, ptr @connection
  %is_open = icmp sge i32 %socket, 0
  br i1 %is_open, label %request_out, label %lost

request_out:
  %thread = call i64 @pthread_self()
  %thread_slot = getelementptr i64, ptr %request, i64 1
  store i64 %thread, ptr %thread_slot
  %requested = call i1 @send_all(i32 %socket, ptr %request, i64 120)
  br i1 %requested, label %next, label %broken

next:
  %commanded = call i1 @receive_all(i32 %socket, ptr %command, i64 32)
  br i1 %commanded, label %obey, label %broken

obey:
  %a_slot = getelementptr i64, ptr %command, i64 1
  %b_slot = getelementptr i64, ptr %command, i64 2
  %c_slot = getelementptr i64, ptr %command, i64 3
  %kind = load i64, ptr %command
  %a = load i64, ptr %a_slot
  %b = load i64, ptr %b_slot
  %c = load i64, ptr %c_slot
  %is_return = icmp eq i64 %kind, 0
  br i1 %is_return, label %return, label %probe

probe:
  %is_copy = icmp eq i64 %kind, 3
  br i1 %is_copy, label %copy, label %look

look:
  %is_there = call i1 @is_mapped(i64 %a, i64 %b)
  br label %tell

copy:
  %is_copied = call i1 @copy(i64 %a, i64 %b, i64 %c)
  br label %tell

tell:
  %there = phi i1 [ %is_there, %look ], [ %is_copied, %copy ]
  %word = zext i1 %there to i64
  store i64 %word, ptr %answer
  %told = call i1 @send_all(i32 %socket, ptr %answer, i64 8)
  br i1 %told, label %transfer, label %broken

transfer:
  br i1 %there, label %choose, label %next

choose:
  %address = inttoptr i64 %a to ptr
  switch i64 %kind, label %next [ i64 1, label %send
                                  i64 2, label %receive ]

send:
  %sent = call i1 @send_all(i32 %socket, ptr %address, i64 %b)
  br i1 %sent, label %next, label %broken

receive:
  %received = call i1 @receive_all(i32 %socket, ptr %address, i64 %b)
  br i1 %received, label %next, label %broken

return:
  call i32 @pthread_mutex_unlock(ptr @lock)
  %result = trunc i64 %a to i32
  %has_callback = icmp ne i64 %b, 0
  br i1 %has_callback, label %call_back, label %done

call_back:
  ; outside of the lock: what is called may call the driver
  %callback = inttoptr i64 %b to ptr
  %callback_argument = inttoptr i64 %c to ptr
  call void %callback(ptr %callback_argument)
  br label %done

done:
  ret i32 %result

broken:
  store i32 -1, ptr @connection
  call i32 @close(i32 %socket)
  br label %lost

lost:
  call i32 @pthread_mutex_unlock(ptr @lock)
  %late = call i32 @answer_without_server(ptr %request)
  ret i32 %late

forked:
  call i32 @pthread_mutex_unlock(ptr @lock)
  ret i32 3                                       ; CUDA_ERROR_NOT_INITIALIZED
}

; What can be said without a server: the words for what has happened.
define internal i32 @answer_without_server(ptr %request) {
entry:
  %number = load i64, ptr %request
  %target_slot = getelementptr i64, ptr %request, i64 3
  %target = load ptr, ptr %target_slot
  switch i64 %number, label %other [ i64 ERROR_NAME, label %name
                                     i64 ERROR_STRING, label %words ]
name:
  store ptr @unknown_name, ptr %target
  ret i32 0
words:
  store ptr @lost_words, ptr %target
  ret i32 0
other:
  ret i32 999                                     ; CUDA_ERROR_UNKNOWN
}

; Starts the server, with one end of a socket as its file 3 and the device's memory as its file 4, and maps that memory
; here. @connection stays -1 if it fails.
define internal void @start(i32 %process) {
entry:
  %pair = alloca [2 x i32]
  %child = alloca i32
  %actions = alloca [256 x i8], align 16          ; a posix_spawn_file_actions_t, which is smaller
  %hello = alloca [4 x i64]
  %paired = call i32 @socketpair(i32 1, i32 524289, i32 0, ptr %pair)    ; AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC
  %no_pair = icmp ne i32 %paired, 0
  br i1 %no_pair, label %failed, label %memory

memory:
  %file = call i32 @memfd_create(ptr @arena_name, i32 1)                 ; MFD_CLOEXEC
  %sized = call i32 @ftruncate(i32 %file, i64 ARENA_SIZE)
  %no_memory = icmp ne i32 %sized, 0
  br i1 %no_memory, label %failed, label %map

map:
  ; PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE: pages come into being when they are touched
  %base = call ptr @mmap(ptr null, i64 ARENA_SIZE, i32 3, i32 16385, i32 %file, i64 0)
  %base_word = ptrtoint ptr %base to i64
  %no_map = icmp eq i64 %base_word, -1
  br i1 %no_map, label %failed, label %spawn

spawn:
  store i32 %file, ptr @arena_file
  store i64 %base_word, ptr @arena_base
  call i32 @madvise(ptr %base, i64 ARENA_SIZE, i32 16)                   ; MADV_DONTDUMP: no core file holds it
  %ours = load i32, ptr %pair
  %theirs_slot = getelementptr i32, ptr %pair, i64 1
  %theirs = load i32, ptr %theirs_slot
  ; copies with high numbers: the child's 3 and 4 must not be one of them. F_DUPFD_CLOEXEC
  %socket_copy = call i32 (i32, i32, ...) @fcntl(i32 %theirs, i32 1030, i32 10)
  %file_copy = call i32 (i32, i32, ...) @fcntl(i32 %file, i32 1030, i32 10)
  call i32 @posix_spawn_file_actions_init(ptr %actions)
  call i32 @posix_spawn_file_actions_addopen(ptr %actions, i32 0, ptr @null_device, i32 0, i32 0)
  call i32 @posix_spawn_file_actions_adddup2(ptr %actions, i32 2, i32 1)
  call i32 @posix_spawn_file_actions_adddup2(ptr %actions, i32 %socket_copy, i32 3)
  call i32 @posix_spawn_file_actions_adddup2(ptr %actions, i32 %file_copy, i32 4)
  %environment = load ptr, ptr @environ
  %spawned = call i32 @posix_spawn(ptr %child, ptr @server_program, ptr %actions, ptr null,
                                  ptr @server_arguments, ptr %environment)
  call i32 @posix_spawn_file_actions_destroy(ptr %actions)
  call i32 @close(i32 %theirs)
  call i32 @close(i32 %socket_copy)
  call i32 @close(i32 %file_copy)
  %is_running = icmp eq i32 %spawned, 0
  br i1 %is_running, label %greet, label %not_spawned

greet:
  %size_slot = getelementptr i64, ptr %hello, i64 1
  %functions_slot = getelementptr i64, ptr %hello, i64 2
  %process_slot = getelementptr i64, ptr %hello, i64 3
  %process_word = zext i32 %process to i64
  store i64 %base_word, ptr %hello
  store i64 ARENA_SIZE, ptr %size_slot
  store ptr @functions, ptr %functions_slot
  store i64 %process_word, ptr %process_slot
  store i32 %ours, ptr @connection
  call i1 @send_all(i32 %ours, ptr %hello, i64 32)
  ret void

failed:
  %error_slot = call ptr @__errno_location()
  %error = load i32, ptr %error_slot
  br label %say

not_spawned:
  call i32 @close(i32 %ours)
  br label %say

say:
  %reason = phi i32 [ %error, %failed ], [ %spawned, %not_spawned ]
  %reason_words = call ptr @strerror(i32 %reason)
  call i32 (i32, ptr, ...) @dprintf(i32 2, ptr @failed_words, ptr %reason_words)
  ret void
}

; Copies between the device's memory and this process's, or inside of one of them; false if not all of it is there.
define internal i1 @copy(i64 %to, i64 %from, i64 %length) {
entry:
  %base = load i64, ptr @arena_base
  %to_offset = sub i64 %to, %base
  %from_offset = sub i64 %from, %base
  %to_device = icmp ult i64 %to_offset, ARENA_SIZE
  %from_device = icmp ult i64 %from_offset, ARENA_SIZE
  %one_side = xor i1 %to_device, %from_device
  br i1 %one_side, label %across, label %inside

across:
  %here = select i1 %to_device, i64 %from, i64 %to
  %offset = select i1 %to_device, i64 %to_offset, i64 %from_offset
  %file = load i32, ptr @arena_file
  br label %more

more:
  %done = phi i64 [ 0, %across ], [ %now_done, %progress ], [ %done, %stopped ]
  %left = sub i64 %length, %done
  %is_finished = icmp eq i64 %left, 0
  br i1 %is_finished, label %yes, label %step

step:
  %here_now = add i64 %here, %done
  %offset_now = add i64 %offset, %done
  %bytes = inttoptr i64 %here_now to ptr
  br i1 %to_device, label %put, label %get

put:
  %put_count = call i64 @pwrite64(i32 %file, ptr %bytes, i64 %left, i64 %offset_now)
  br label %counted

get:
  %get_count = call i64 @pread64(i32 %file, ptr %bytes, i64 %left, i64 %offset_now)
  br label %counted

counted:
  %count = phi i64 [ %put_count, %put ], [ %get_count, %get ]
  %is_good = icmp sgt i64 %count, 0
  br i1 %is_good, label %progress, label %stopped

progress:
  %now_done = add i64 %done, %count
  br label %more

stopped:
  %again = call i1 @was_interrupted(i64 %count)
  br i1 %again, label %more, label %no

inside:
  %to_there = call i1 @is_mapped(i64 %to, i64 %length)
  %from_there = call i1 @is_mapped(i64 %from, i64 %length)
  %both_there = and i1 %to_there, %from_there
  br i1 %both_there, label %move, label %no

move:
  %destination = inttoptr i64 %to to ptr
  %source = inttoptr i64 %from to ptr
  call void @llvm.memmove.p0.p0.i64(ptr %destination, ptr %source, i64 %length, i1 false)
  br label %yes

yes:
  ret i1 true
no:
  ret i1 false
}

; True if every page of the range is mapped: msync with MS_ASYNC does nothing but look.
define internal i1 @is_mapped(i64 %address, i64 %length) {
entry:
  %is_empty = icmp eq i64 %length, 0
  br i1 %is_empty, label %yes, label %look
look:
  %page = call i32 @getpagesize()
  %page_word = zext i32 %page to i64
  %mask = sub i64 0, %page_word
  %start = and i64 %address, %mask
  %end = add i64 %address, %length
  %span = sub i64 %end, %start
  %pointer = inttoptr i64 %start to ptr
  %looked = call i32 @msync(ptr %pointer, i64 %span, i32 1)
  %there = icmp eq i32 %looked, 0
  ret i1 %there
yes:
  ret i1 true
}

; Sends all bytes; false if the server is gone (without SIGPIPE: MSG_NOSIGNAL).
define internal i1 @send_all(i32 %socket, ptr %bytes, i64 %length) {
entry:
  br label %more
more:
  %done = phi i64 [ 0, %entry ], [ %now_done, %progress ], [ %done, %interrupted ]
  %left = sub i64 %length, %done
  %is_finished = icmp eq i64 %left, 0
  br i1 %is_finished, label %yes, label %step
step:
  %at = getelementptr i8, ptr %bytes, i64 %done
  %count = call i64 @send(i32 %socket, ptr %at, i64 %left, i32 16384)
  %is_good = icmp sgt i64 %count, 0
  br i1 %is_good, label %progress, label %interrupted
progress:
  %now_done = add i64 %done, %count
  br label %more
interrupted:
  %again = call i1 @was_interrupted(i64 %count)
  br i1 %again, label %more, label %no
yes:
  ret i1 true
no:
  ret i1 false
}

; Receives all bytes; false if the server is gone.
define internal i1 @receive_all(i32 %socket, ptr %bytes, i64 %length) {
entry:
  br label %more
more:
  %done = phi i64 [ 0, %entry ], [ %now_done, %progress ], [ %done, %interrupted ]
  %left = sub i64 %length, %done
  %is_finished = icmp eq i64 %left, 0
  br i1 %is_finished, label %yes, label %step
step:
  %at = getelementptr i8, ptr %bytes, i64 %done
  %count = call i64 @recv(i32 %socket, ptr %at, i64 %left, i32 0)
  %is_good = icmp sgt i64 %count, 0
  br i1 %is_good, label %progress, label %interrupted
progress:
  %now_done = add i64 %done, %count
  br label %more
interrupted:
  %again = call i1 @was_interrupted(i64 %count)
  br i1 %again, label %more, label %no
yes:
  ret i1 true
no:
  ret i1 false
}

; True if a transfer failed only because a signal came (EINTR).
define internal i1 @was_interrupted(i64 %count) {
  %failed = icmp slt i64 %count, 0
  %error_slot = call ptr @__errno_location()
  %error = load i32, ptr %error_slot
  %is_signal = icmp eq i32 %error, 4
  %again = and i1 %failed, %is_signal
  ret i1 %again
}
