//! Curves that coincide in a picture. They are drawn once and named together. This is not a verdict.

/// Values closer than this share of them overlap in a picture.
const NEAR: f64 = 0.03;

/// True if two positive values overlap in a picture.
pub fn is_near(a: f64, b: f64) -> bool {
    (a / b).ln().abs() < NEAR
}

/// Layouts that are drawn as one.
#[derive(Debug)]
pub struct Group<'a, T> {
    /// Ids of the layouts, in the order in which they were given.
    pub layouts: Vec<&'a str>,
    /// The values of the first layout.
    pub values: Vec<T>,
}

impl<T> Group<'_, T> {
    /// All layouts in words. Not with a sign of equality: to coincide in a picture is no verdict.
    pub fn names(&self) -> String {
        self.layouts.join(", ")
    }

    /// The first layout and the number of others, for a label beside a curve.
    pub fn label(&self) -> String {
        match self.layouts.len() {
            1 => self.layouts[0].to_owned(),
            nr => format!("{} +{}", self.layouts[0], nr - 1),
        }
    }
}

/// Groups layouts whose values are all near those of the first layout of a group.
pub fn together<'a, T>(
    layouts: impl Iterator<Item = (&'a str, Vec<T>)>,
    is_near: impl Fn(&T, &T) -> bool,
) -> Vec<Group<'a, T>> {
    let mut groups: Vec<Group<'a, T>> = Vec::new();
    for (layout, values) in layouts {
        let coincide = |group: &&mut Group<'a, T>| {
            group.values.len() == values.len() && group.values.iter().zip(&values).all(|(a, b)| is_near(a, b))
        };
        match groups.iter_mut().find(coincide) {
            Some(group) => group.layouts.push(layout),
            None => groups.push(Group { layouts: vec![layout], values }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_together_only_if_every_value_is_near() {
        let layouts = [("a", vec![1.0, 2.0]), ("b", vec![1.01, 2.0]), ("c", vec![1.0, 3.0]), ("d", vec![1.0])];
        let groups = together(layouts.into_iter(), |a: &f64, b: &f64| (a - b).abs() < 0.1);
        assert_eq!(groups.iter().map(Group::names).collect::<Vec<_>>(), ["a, b", "c", "d"]);
        assert_eq!(groups.iter().map(Group::label).collect::<Vec<_>>(), ["a +1", "c", "d"]);
    }
}
