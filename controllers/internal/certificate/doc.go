// Package certificate keeps the authority by which operator and runtime pods know
// each other, and issues their certificates from it.
//
// The authority is in a Secret of the operator's own namespace, whose key never
// leaves it. Each Runtime has a certificate with its name in a Secret beside its
// pods; the operator's own is in memory. Certificates are good for thirty days and
// replaced after twenty, so that a month without the operator is needed to stop
// pods from talking to each other.
//
// # Rotation of the authority
//
// An authority is good for ten years. Two years before its end a successor is
// made, in three steps that never leave a certificate in use that somebody does
// not trust:
//
//  1. The successor stands beside the authority, and is trusted but signs nothing.
//  2. A day later, and when the Secrets of all Runtimes have it, it signs; the one
//     before is still trusted. All certificates are issued anew.
//  3. When the last certificate of the one before has ended, it is forgotten.
//
// The package never decides what a name may do; that is for package identity and
// the servers.
package certificate
