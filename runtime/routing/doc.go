// Package routing decides which shard an entity lives in, and brings a call to
// that shard's owner, in this process or in another. It is the only place where
// an entity becomes a slot and a slot a shard.
//
// It never decides who owns a shard (the store does, and refuses whoever is
// wrong), and never touches events. So wrong news of an owner cost time, and
// nothing else.
//
// # What is known of a shard
//
//	placed      its owner is in this process
//	known       its owner is at an address, under an epoch
//	unknown     nobody owns it, or nobody knows who does
//
// Of two pieces of news the higher epoch counts; of the same epoch, the owner in
// this process before all else, and that the owner is gone before that it is
// there. News come from the operator ([Router.Learn]), from processes that refuse
// a call and name the owner, and from the store ([Config.Lookup]), which is asked
// while calls wait and when an answer takes long. Only the store may take an
// epoch back: it has been restored, or the news were wrong.
//
// # A call's way
//
//	           placed                  known
//	         +--------> here       +----------> there
//	         |            |        |              |
//	call ----+            |        |              |
//	         ^            v        |              v
//	         |         answered    |           answered
//	         |                     |
//	         +-- news or a pause --+
//	         |
//	         +---- held: bounded in number, bytes and time ----> given up
//
// A call that is not answered goes on to whoever owns the shard next, under the
// same command id. What an attempt tells of the command:
//
//	not the owner; unreachable         nothing ran
//	Overloaded, NotAttempted           nothing of this attempt ran
//	no answer; OutcomeUnknown          it may have run, or may yet run
//	anything else                      this is the command's answer
//
// The first and third are tried again, the second only after a third. When time
// is over, the caller is told NotAttempted if no attempt can have run, and
// OutcomeUnknown otherwise. A read has no effects, so it is tried again whatever
// became of it.
//
// A call makes one hop: what comes from another process is answered by the owner
// here or refused with a hint ([Local]), never sent on. It waits there only while
// this process is claiming the shard. So processes that take each other for the
// owner cost a caller some pauses, never a loop.
//
// # Why an attempt may be left behind
//
// An owner that is frozen or cut off gives no answer, and a command must not wait
// for it longer than for the failover. When news of a newer owner come, calls to
// the older one get a short grace, for an answer that is on its way, and are then
// abandoned and sent to the newer owner. That is right because the newer owner
// has claimed the shard: what the older one had committed by then, the newer one
// has read and knows by the command's id; what it had not, the store refuses.
//
// An attempt can also be lost while the owner stays: the connection broke. Then
// the lost attempt may yet reach that owner, after the one that was sent later.
// The later one therefore says that it is a retry ([shard.Command].Retried): its
// answer is remembered under its id even when the id was made at the door and
// nothing was written, so the lost attempt cannot do what the caller was told has
// not been done.
package routing
