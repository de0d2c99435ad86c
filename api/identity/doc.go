// Package identity is who is who between the operator and the runtime pods:
// names, certificates, and the mutual TLS that both halves of the product speak
// to each other. Nothing is accepted from a peer without a certificate that a
// trusted authority has issued.
//
// It must never know Kubernetes, nor decide what a name may do beyond telling
// names apart ([Only]).
//
// # Names
//
// A certificate holds exactly one DNS name: [OperatorName], or a Runtime's
// ([RuntimeName]). The pods of a Runtime share its name; they are told apart by
// their incarnation, not by their certificate. Every certificate is good for
// both ends of a connection.
//
// # Rotation
//
// A [Source] gives the certificate and the trusted authorities of the present
// moment, and is asked anew at every handshake. The authorities may be several,
// so an authority is replaced without an interruption in three steps, each after
// the one before has arrived everywhere: trust both; issue from the new one;
// trust the new one alone. A connection that stands is not looked at again: it
// ends with its process.
package identity
