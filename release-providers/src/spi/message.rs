//! How requests and answers are declared: plain data that can grow.

/// Declares a request or an answer: `#[non_exhaustive]`, serialisable, with a constructor of what is required.
/// What comes after `optional` has a default, and is set on the value itself.
macro_rules! message {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$field_meta:meta])* pub $field:ident: $type:ty, )*
            $( optional { $( $(#[$more_meta:meta])* pub $more:ident: $more_type:ty, )* } )?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
            $( $( $(#[$more_meta])* #[serde(default)] pub $more: $more_type, )* )?
        }

        impl $name {
            /// One with all that is required.
            #[must_use]
            pub fn new($( $field: $type, )*) -> Self {
                Self { $( $field, )* $( $( $more: <$more_type>::default(), )* )? }
            }
        }
    };
}
pub(crate) use message;
