// Package picture makes pictures that strangers sent harmless: what it returns was
// decoded and encoded again, so that it holds pixels and nothing else: no place and
// camera (EXIF, XMP, IPTC), no comments, no profiles, nothing behind the end, no second file
// in the same bytes.
//
// It promises to say no before it costs much: the type is what the bytes begin with; width,
// height, frames and the memory that decoding would take are read from the heads and bounded
// before a pixel is decoded; decoding and encoding end with their context, and what is
// encoded is bounded too.
package picture
